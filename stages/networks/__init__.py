"""Networks of any family of transformers as teacher assistant or student, through one protocol.

A network is called as a SegFormer of transformers is: `network(pixel_values=pictures).logits`, with
pictures in ImageNet's normalisation, float (N, 3, H, W), and logits (N, C, h, w) at any stride;
`network.config` is the model's. A SegFormer is such a network as it is. The other families are
wrapped (`adapted`), and so is a network whose classes are mapped (`classes`).
"""
