"""The engine that needs no training: geometry, hidden regions and fine detail.

After Averbuch-Elor, Cohen-Or, Kopf and Cohen, *Bringing Portraits to Life*, ACM TOG 36(4):196, 2017, with a
mesh that has depth in place of their planar one.
"""
