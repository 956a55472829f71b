"""Extraction on the machines of a Ray cluster: the same engine in an actor on each, blocks of videos as tasks.

    driver                                    node 1, node 2, ...: one extractor each
    rows ──► chunks of rows ── look at ─────► hash, ask the cache what is missing
             videos to do   ◄────────────────
             blocks, long videos first ─────► engine: decode once, run many ──► segments in the shared cache
             what became of it ◄──────────────

Only `crew` and `connecting` know Ray. Of what is to be done the driver
holds as many videos as fit into its horizon; beside that 8 bytes for each video, and the list of files.
"""
