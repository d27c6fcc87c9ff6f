"""The contract between gateway and stages in Python, generated from protos/eureka/stage."""
