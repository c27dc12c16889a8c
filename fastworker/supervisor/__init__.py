"""The supervisor process: owns every connection, keeps deadlines, answers for the dead."""
