"""The optimisation core: it knows no circuit and no network.

A :class:`~automl_core.problem.Problem` says what can be chosen (its :class:`~automl_core.space.DesignSpace`) and
evaluates one design; :class:`~automl_core.specs.Specs` order designs; an optimizer proposes them; the
:class:`~automl_core.study.Study` is the one gate between them, and writes every trial to its record.
"""
