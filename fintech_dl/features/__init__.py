"""Frames to tables: plain functions that look backwards only and fit nothing."""
