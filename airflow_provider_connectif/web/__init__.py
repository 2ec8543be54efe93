"""The Connectif page in Airflow's UI (Airflow 3.1 and later). It reads journals and changes nothing."""
