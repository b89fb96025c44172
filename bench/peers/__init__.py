"""The services that smsstatus is measured against."""
