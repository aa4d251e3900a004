"""The DICOMweb door: STOW-RS, QIDO-RS and WADO-RS over HTTP. The only place that is asynchronous."""
