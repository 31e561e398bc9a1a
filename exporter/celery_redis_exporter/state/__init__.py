# SPDX-License-Identifier: Apache-2.0
"""Memory only: what events and readings add up to.

Input: records and a clock. Output: families and samples. Does no I/O. Everything that can grow has a bound, and
a counter for what fell over it. One lock (``Store.lock``) guards all of it: the folding thread holds it for one
batch, the renderer only while it copies values.
"""
