"""Networks of other programs.

cgp_cnn   those of cgp-cnn-PyTorch, from what it prints and logs
"""
