"""Child training: from an architecture and data to an evaluation."""
