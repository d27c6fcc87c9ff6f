"""The public contract in Python, generated from protos/eureka/api."""
