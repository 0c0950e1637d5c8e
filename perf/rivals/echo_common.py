"""What the echo servers in Python share."""

import resource

BUFFER = 64 * 1024
BACKLOG = 4096


def allow_all_descriptors():
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
