"""What is computed: stage 1 (SAM), stage 2 (adaptation), source training, evaluation."""
