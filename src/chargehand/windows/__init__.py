"""The service as Windows runs it: installed, started, watched and stopped by the service control manager."""
