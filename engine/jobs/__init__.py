"""Side jobs: a queue in a database that loses nothing, and the processes that work on it.

The truth is in one store (``schema``, ``store``): SQLite in a file, or PostgreSQL by URL. Everybody
who takes part, in whatever process, only reads it and changes it in short transactions:

==================  ==============================================================================
``opening``         ``open_jobs`` opens a store and wires what belongs to it: the way in.
``queue``           Enqueue, get, retry, delete; ``submit`` gathers concurrent submissions into one
                    transaction.
``control``         Cancel, pause, resume, delay, move; hold the whole queue.
``history``         Search, page by page; the queue in its order; a job's log.
``files``           Where inputs, results and previews are: in a folder; ``bucket_files`` also in an
                    ``object_store`` (``s3``), for machines without a folder in common.
``leases``          What workers do: claim a job, renew the lease, report, commit, fail, give back.
``expiry``          What anybody may do at any time: take back leases that ended, wake delayed jobs.
``worker``          A process that runs ``generators`` (``running`` one job, ``context`` what the
                    generator sees, ``heartbeat`` the thread that keeps the lease).
``supervisor``      Starts and stops worker processes, replaces dead ones, kills what won't stop.
``feed``            Feeds ``subscriptions`` with the ``events`` of jobs, in whichever process they
                    happen.
``caching``         Results that are there already; ``machine`` says where they hold.
``notices``         Who is to be called when a job has ended.
``broker``          Tells workers on other machines of jobs, by Celery: ``announcing`` is the
                    server's side of it, ``broker_worker`` the worker's.
``cleaning``        Removes old jobs and their files.
``live``            Lets jobs wait while live streams are late.
==================  ==============================================================================

**Nothing is lost and nothing is committed twice.** A worker holds a job by a lease: an owner and an
attempt number that rises with each claim. Every write of a worker names both, so a worker whose
lease was taken back changes nothing any more. Each attempt writes into a folder of its own; which
of them is the job's result is decided by the transaction that marks it done.

**No lease depends on a clock that can be set.** Within one running system, monotonic times are
compared, and `clocks` names which system they belong to. A lease of another machine, or from before
a restart, ends when its renewal counter has not moved for the lease's length on the observer's own
monotonic clock. Wall time is only shown to people, and decides when delayed jobs of an earlier boot
are due and what is old enough to be cleaned up.

States::

    waiting ---> queued <---> running ---> done
    delayed ----^   ^           |   +----> failed     (children of failed and cancelled jobs fail)
       ^            |           |   +----> cancelled
       |            +--- paused <
       +------------------------- retry after back-off
"""
