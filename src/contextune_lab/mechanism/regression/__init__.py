"""In-context regression: what a prefix of solved pairs does to a transformer that is trained to regress in context.

A model that was pretrained on linear functions f is trained further on functions g made from f. The arms differ in
what precedes the pairs (x, g(x)): nothing, the pairs (x, f(x)), or controls that look like them. After Choi et
al. (arXiv 2503.09032) on the ground of Garg et al. (arXiv 2208.01066).
"""
