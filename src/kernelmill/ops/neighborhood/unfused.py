"""Unfused neighborhood attention."""


def na1d_qk(*args):
    raise NotImplementedError


na1d_av = na2d_qk = na2d_av = na3d_qk = na3d_av = na1d_qk
