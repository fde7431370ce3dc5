"""Removing things from pictures with LaMa.

Suvorov et al., *Resolution-robust Large Mask Inpainting with Fourier Convolutions*, WACV 2022.

==================  ==============================================================================
``masks``           Masks as files and as sums of others: read, grown, with soft edges.
``regions``         Which parts of a picture are looked at to fill a mask.
``loading``         Makes a ``LamaModel`` of a TorchScript file or of weights.
``filling``         Fills what a mask shows, region by region.
``running``         Runs the generator ``remove_object``: files and values.
==================  ==============================================================================
"""
