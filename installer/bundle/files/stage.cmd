@rem One stage of the life cycle that the marketplace runs. lifecycle.cmd does it.
@call "%~dp0lifecycle.cmd" %~n0 %*
@exit /b %errorlevel%
