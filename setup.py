"""The cffi extension; everything else stands in pyproject.toml."""

from setuptools import setup

setup(
    cffi_modules=["csrc/build.py:ffibuilder"],
    options={"bdist_wheel": {"py_limited_api": "cp311"}},  # for CPython 3.11 and later
)
