"""asyncio pieces that several layers use."""
