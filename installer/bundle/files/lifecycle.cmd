@echo off
rem The life of a product and of the license agent that is its own, on Windows.
rem Each stage looks first what is there, so that one that was cut off is finished
rem by running it again, and one that is finished does nothing.
rem   lifecycle.cmd install|poststart|start|restart|prestop|stop|update|uninstall [--purge]
setlocal EnableExtensions DisableDelayedExpansion
for %%I in ("%~dp0..") do set "here=%%~fI"
call "%here%\scripts\settings.cmd"
set "stage=%~1"
set "option=%~2"
set "service=license-agent-%instance%"
set "agent=%ProgramFiles%\%service%\license-agent.exe"
set "base=%ProgramData%\%service%"
set "anchor=%base%\config\anchors\%issuer%.json"
set "run=%base%\bundle"
set "LICENSE_AGENT_INSTANCE=%instance%"
rem Where the product runs: this folder, or the one of the version before.
set "where=%here%"
if exist "%run%\home" set /p where=<"%run%\home"
set "where=%where:"=%"
if "%stage%"=="app" goto :app
call :own || exit /b 1
for %%S in (install poststart start restart prestop stop update uninstall) do if "%%S"=="%stage%" goto :%stage%
call :fail "unknown stage %stage%" "one of install, poststart, start, restart, prestop, stop, update, uninstall"
exit /b 1

:install
call :check || exit /b 1
call :bring || exit /b 1
call :hook install || exit /b 1
echo %software%: installed; start it by: scripts\start.cmd
exit /b 0

:update
call :installed || exit /b 1
call :check || exit /b 1
rem Whether it ran is remembered on disk, for a run that is cut off in between.
call :alive && type nul >"%run%\start-again"
call :finish || exit /b 1
call :bring || exit /b 1
call :hook update || exit /b 1
if exist "%run%\start-again" (
  call :launch || exit /b 1
  del "%run%\start-again"
)
echo %software%: updated to %version%
exit /b 0

:start
call :installed || exit /b 1
call :launch
exit /b %errorlevel%

:restart
call :installed || exit /b 1
call :finish || exit /b 1
call :launch
exit /b %errorlevel%

:stop
call :finish || exit /b 1
call :hook stop
exit /b %errorlevel%

:prestop
call :hook prestop
exit /b %errorlevel%

:poststart
call :installed || exit /b 1
call :alive || ( call :fail "%name% has ended" "read %run%\app.log" & exit /b 1 )
call :answers || ( call :fail "the license agent does not answer" "run: scripts\restart.cmd" & exit /b 1 )
"%agent%" status --instance %instance% >nul 2>&1
if %errorlevel% neq 0 (
  echo %software%: runs; it has no valid license yet. Type the authorization code: "%agent%" activate --instance %instance%
) else (
  echo %software%: runs and is licensed
)
call :hook poststart
exit /b %errorlevel%

:uninstall
if not "%option%"=="" if not "%option%"=="--purge" ( call :fail "unknown option %option%" "use --purge, or nothing" & exit /b 1 )
call :finish || exit /b 1
if exist "%run%\home" call :hook uninstall
if exist "%run%" rd /s /q "%run%"
"%here%\bin\license-agent.exe" uninstall --instance %instance% %option%
exit /b %errorlevel%

rem own: what another vendor has installed is not for this package to start, to stop
rem or to remove, as is tried where install was refused.
:own
for /f "delims=" %%F in ('dir /b "%base%\config\anchors\*.json" 2^>nul') do if /i not "%%F"=="%issuer%.json" (
  call :fail "the instance %instance% belongs to another vendor (%%F)" "ask the vendor for a bundle with another --instance; nothing was changed"
  exit /b 1
)
exit /b 0

rem check: the agent inside looks at the bundle before anything is changed; once
rem installed, the installed one does, by the trust anchor that it has.
:check
set "tool=%agent%"
if not exist "%tool%" set "tool=%here%\bin\license-agent.exe"
if exist "%anchor%" (
  "%tool%" verify-bundle "%here%" --anchor "%anchor%" >nul
) else (
  "%tool%" verify-bundle "%here%" >nul
)
if errorlevel 1 ( echo %software%: nothing was changed& exit /b 1 )
rem A key that this version does not know would stop the agent at its next start.
if not exist "%base%\config\agent.toml" exit /b 0
"%here%\bin\license-agent.exe" run --check-config --instance %instance% >nul
if errorlevel 1 (
  call :fail "the agent in this package cannot read %base%\config\agent.toml: see above; nothing was changed" "mend or remove the line and run this again"
  exit /b 1
)
exit /b 0

rem bring: agent, trust anchor and mark are those of this bundle. The variable is
rem for what "license-agent install --help" lists, on unusual machines.
:bring
"%here%\bin\license-agent.exe" install --instance %instance% --anchor "%here%\license\anchor.json" %LICENSE_AGENT_INSTALL_OPTIONS% || ( call :fail "the agent could not be installed" "mend what it says above and run this again" & exit /b 1 )
if not exist "%run%" md "%run%" || exit /b 1
rem In quotes, which reading takes off: a folder may have & in its name.
>"%run%\home.part" echo "%here%"
move /y "%run%\home.part" "%run%\home" >nul || exit /b 1
set "where=%here%"
exit /b 0

:installed
if exist "%run%\home" exit /b 0
call :fail "%name% is not installed" "run: scripts\install.cmd"
exit /b 1

:launch
sc query %service% | findstr RUNNING >nul || net start %service% >nul 2>&1
for /l %%N in (1,1,30) do call :answers && goto :up || ping -n 2 127.0.0.1 >nul
call :fail "the service %service% does not answer" "read the event log of the system"
exit /b 1
:up
call :hook start || exit /b 1
call :alive && exit /b 0
start "" /b /d "%here%\scripts" cmd /d /c lifecycle.cmd app <nul >nul 2>&1
for /l %%N in (1,1,15) do call :alive && exit /b 0 || ping -n 2 127.0.0.1 >nul
call :fail "%name% does not start" "read %run%\app.log"
exit /b 1

rem answers: exit code 4 says that nobody listens.
:answers
"%agent%" status --instance %instance% >nul 2>&1
if %errorlevel% equ 4 exit /b 1
exit /b 0

rem app: what launch starts. The product's output goes to a log.
:app
cd /d "%here%\bin"
"%here%\bin\%program%" %arguments% >>"%run%\app.log" 2>&1 <nul
exit /b %errorlevel%

rem alive: the file of a program that runs cannot be opened for writing. This is
rem about the file in that folder, whatever else has the same name.
:alive
( >>"%where%\bin\%program%" call ) 2>nul && exit /b 1
exit /b 0

rem finish: programs are ended by name, so it must be the only one of that name.
:finish
call :alive || exit /b 0
set "count=0"
for /f "delims=" %%L in ('tasklist /fo csv /nh ^| findstr /i /c:"%program%"') do set /a count+=1
if %count% gtr 1 ( call :fail "%count% programs are called %program%" "end the one in %where%\bin by hand, in the task manager, and run this again" & exit /b 1 )
taskkill /im "%program%" >nul 2>&1
for /l %%N in (1,1,5) do call :alive && ping -n 2 127.0.0.1 >nul
call :alive && taskkill /f /im "%program%" >nul 2>&1
for /l %%N in (1,1,5) do call :alive && ping -n 2 127.0.0.1 >nul
call :alive && ( call :fail "%name% does not end" "end %program% in the task manager" & exit /b 1 )
exit /b 0

:hook
if not exist "%here%\bin\hooks\%1.cmd" exit /b 0
call "%here%\bin\hooks\%1.cmd"
if not errorlevel 1 exit /b 0
call :fail "%here%\bin\hooks\%1.cmd has failed (%errorlevel%)" "mend what it says above and run this again: scripts\%stage%.cmd"
exit /b 1

:fail
>&2 echo %software%: %~1
>&2 echo   next: %~2
exit /b 1
