"""Version 1 of the public contract; generated files beside this one."""
