"""The engine for a video whose person is to say other words: the mouth comes from that person's own frames.

After Suwajanakorn, Seitz and Kemelmacher-Shlizerman, *Synthesizing Obama: Learning Lip Sync from Audio*, ACM TOG
36(4):95, 2017.

Mouths are laid out in the face's plane: a plane through the lower face of the head at rest, seen from the front, with
the inter-ocular distance as unit, x to the right, y down, the origin midway between the outer eye corners. A map
(2, 3) of a frame leads from the plane to that frame's pixels.
"""
