from eureka.jobs.claims import MemoryClaims, NoClaims


def test_claim_holds_until_released_or_silent_for_too_long() -> None:
    now = [0.0]
    claims = MemoryClaims(10.0, lambda: now[0])
    first = claims.claim("w")
    assert first is not None and first.number == 1
    assert claims.claim("w") is None and claims.claim("v") is not None
    now[0] = 9.0
    first.beat()
    now[0] = 18.0
    assert claims.is_live("w")
    now[0] = 19.5
    assert not claims.is_live("w")
    second = claims.claim("w")
    assert second is not None and second.number == claims.num_claims("w") == 2
    first.beat(), first.release()  # too late: it is not theirs any more
    assert claims.is_live("w")
    second.release()
    assert not claims.is_live("w")


def test_no_claims_let_everybody_work() -> None:
    claims = NoClaims()
    assert claims.claim("w") is not None and claims.claim("w") is not None
    assert not claims.is_live("w") and claims.num_claims("w") == 0
