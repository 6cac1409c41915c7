@rem One stage of the life cycle that the marketplace runs. lifecycle.cmd does it.
@setlocal DisableDelayedExpansion
@set "scripts=%~dp0"
@set "errorlevel="
@call "%%scripts%%lifecycle.cmd" %~n0 %*
@exit /b %errorlevel%
