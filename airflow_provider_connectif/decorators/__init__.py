"""The TaskFlow decorator ``@task.connectif_patch``."""
