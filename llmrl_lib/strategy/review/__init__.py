"""Expert review: people predict, then rate what a language model advised, and the ratings become scores.

After section II-B of the paper: rubric (Table II), anonymised cases, a prediction of one's own before the model's. A study
(`study`) is shown in packets (`packet`), comes back as files of answers (`answers`, `collecting`) and is summed up in scores
(`scores`, `agreement`, `bias`). Reviewers of known ability and bias (`simulated`) check the sums.
"""
