"""The shared agent: it reads any problem as a graph of named parts, proposes designs and learns from their trials.

* ``graph`` and ``named``: a design space as tensors in which kinds, features, slots and metrics are known by name;
* ``state`` with ``seq2seq`` or ``gcn``: the policy and its critic;
* ``ddpg``: the learner; ``model`` and ``imagination``: what it learns from designs that were never evaluated;
* ``agent``: all of them behind ask and tell; ``policy_files``: what is kept of it.
"""
