"""What the service does by itself: looking after its data, and asking Plivo what was missed.

* `caretaker`: a thread that counts, looks for damage, and beats;
* `timetable`: a thread that does the `tasks` when they are due: reconcile, prune, backup;
* `reconcile`, `listing`, `pruning`, `backups`: how each is done, for the commands too.
"""
