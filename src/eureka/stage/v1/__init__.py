"""Version 1 of the contract between stages; generated files beside this one."""
