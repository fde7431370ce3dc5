"""Objects of a picture by clicks and boxes (SAM 2, Segment Anything).

==================  ==============================================================================
``prompts``         Points and boxes as parameters; which of them belong to one object.
``checkpoints``     Which kind of model a folder or file holds.
``files``           Their files, found without hashing them.
``loading``         Makes a ``SegmentModel`` of it; ``sam_weights`` reads the original checkpoints.
``preparing``       Pictures as models take them, and their masks back in the picture's size.
``model``           A model that runs: embed a picture, answer a prompt.
``embeddings``      Embedded pictures of the last jobs, so that a further click is quick.
``segmenter``       All of that for one job: memory, ladder, progress.
``running``         Runs the generator ``segment``: files and values.
==================  ==============================================================================
"""
