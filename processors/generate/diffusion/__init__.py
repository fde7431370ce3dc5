"""Diffusion models by diffusers: what is in a folder, loading, running, and what saves memory.

==================  ==============================================================================
``parameters``      What all generators of this kind have in common, and which model needs which.
``checkpoint``      Tells what a folder holds, without loading it; names what is missing.
``configs``         How the known families are built, for checkpoints of one file.
``libraries``       Imports torch, diffusers and transformers such that they never use the network.
``loading``         Makes a pipeline of a checkpoint.
``schedulers``      The samplers by name.
``rungs``           The ladder that is climbed down when memory runs out.
``painter``         Runs a pipeline: seeds, progress, previews, decoding.
``decoding``        From latents to pictures, and what to do about numbers that are none.
``previews``        From latents to small pictures, cheaply.
``pictures``        Reading and writing pictures and masks; the part of a picture that is worked on.
``text_to_image``   Runs the generator of that name.
``inpainting``      Runs the generator ``inpaint``.
==================  ==============================================================================
"""
