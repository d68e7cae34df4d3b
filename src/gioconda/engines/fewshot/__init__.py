"""The few-shot talking head: a network draws the whole head from a picture of landmarks.

After Zakharov, Shysheya, Burkov and Lempitsky, *Few-Shot Adversarial Learning of Realistic Neural Talking Head
Models*, ICCV 2019. Here is what use needs, without PyTorch; training and adaptation are in `training/fewshot`.
"""
