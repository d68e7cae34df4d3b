"""Lip sync: the person in a video says other words, with mouths from that person's own footage.

Source: Suwajanakorn, Seitz and Kemelmacher-Shlizerman, *Synthesizing Obama: Learning Lip Sync from Audio*, ACM TOG
36(4):95, 2017. The target is the video to change. A mouth texture database holds the person's mouths; the command line
calls it a bank.

Mouths are stored in the face's plane. It passes through the lower face of the head at rest, seen from the front: x to
the right, y down, the origin midway between the outer eye corners, the inter-ocular distance as unit. A map (2, 3) of a
frame leads from the plane to that frame's pixels.
"""
