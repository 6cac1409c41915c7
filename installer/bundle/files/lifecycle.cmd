@echo off
rem The life of a product and of the license agent that is its own, on Windows.
rem Each stage looks first what is there, so that one that was cut off is finished
rem by running it again, and one that is finished does nothing.
rem   lifecycle.cmd install|poststart|start|restart|prestop|stop|update|uninstall [--purge]
setlocal EnableExtensions DisableDelayedExpansion
rem What the caller has set is not for here: a variable of this name hides the code.
set "errorlevel="
set product="%~f0" app
for %%I in ("%~dp0..") do set "here=%%~fI"
rem "call" reads its line twice, so it gets the name of a variable: a folder may have
rem a percent sign in its name.
call "%%here%%\scripts\settings.cmd"
set "stage=%~1"
set "option=%~2"
rem Tools by their full name: cmd looks into the current folder first, which anybody
rem may have written to.
set "system=%SystemRoot%\System32"
rem A cmd of 32 bits is told another folder than the one that the agent is in.
set "programs=%ProgramFiles%"
if defined ProgramW6432 set "programs=%ProgramW6432%"
set "service=license-agent-%instance%"
set "agent=%programs%\%service%\license-agent.exe"
set "base=%ProgramData%\%service%"
set "anchor=%base%\config\anchors\%issuer%.json"
set "run=%base%\bundle"
set "LICENSE_AGENT_INSTANCE=%instance%"
set "LICENSE_AGENT_SOCKET="
rem Where the product runs: this folder, or the one of the version before.
set "where=%here%"
if exist "%run%\home" set /p where=<"%run%\home"
set "where=%where:"=%"
if "%stage%"=="app" goto :app
if defined LICENSE_AGENT_DIR (
  call :fail "LICENSE_AGENT_DIR is set, and on Windows the agent is always a service; nothing was changed" "run this again without it: set LICENSE_AGENT_DIR="
  exit /b 1
)
call :own || exit /b 1
for %%S in (install poststart start restart prestop stop update uninstall) do if /i "%%S"=="%stage%" goto :%%S
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
call :hook stop || exit /b 1
call :launch
exit /b %errorlevel%

:stop
if not exist "%run%" exit /b 0
rem Of an update that failed: whoever stops it now means it.
if exist "%run%\start-again" del "%run%\start-again"
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
if exist "%run%\home" ( call :hook uninstall || exit /b 1 )
if exist "%run%" rd /s /q "%run%"
"%here%\bin\license-agent.exe" uninstall --instance %instance% %option%
exit /b %errorlevel%

rem own: what another vendor has installed is not for this package to start, to stop
rem or to remove, as is tried where install was refused.
:own
pushd "%base%\config\anchors" 2>nul || exit /b 0
set "other="
for %%F in (*.json) do if /i not "%%F"=="%issuer%.json" set "other=%%F"
popd
if not defined other exit /b 0
call :fail "the instance %instance% belongs to another vendor (%%other%%)" "ask the vendor for a bundle with another --instance; nothing was changed"
exit /b 1

rem check: the agent inside looks at the bundle before anything is changed; once
rem installed, the installed one does, by the trust anchor that it has.
:check
set "tool=%agent%"
if not exist "%tool%" set "tool=%here%\bin\license-agent.exe"
rem With a dot: of a whole drive the name ends with a backslash, which would make the
rem quotation mark after it part of the name.
if exist "%anchor%" (
  "%tool%" verify-bundle "%here%\." --anchor "%anchor%" >nul
) else (
  "%tool%" verify-bundle "%here%\." >nul
)
rem Not "if errorlevel 1": the code of a program that crashes is below 0.
if %errorlevel% neq 0 ( echo %software%: nothing was changed& exit /b 1 )
rem A key that this version does not know, or licenses of a newer one, would stop the
rem agent at its next start.
if not exist "%base%\config\agent.toml" exit /b 0
"%here%\bin\license-agent.exe" run --check-config --instance %instance% >nul
if %errorlevel% neq 0 (
  call :fail "the agent in this package cannot go on with the configuration and the licenses that are here: see above; nothing was changed" "do what it says above and run this again"
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
"%system%\net.exe" start %service% >nul 2>&1
for /l %%N in (1,1,30) do call :answers && goto :up || call :second
call :fail "the service %service% does not answer" "read the event log of the system"
exit /b 1
:up
call :replaced && ( call :finish || exit /b 1 )
call :hook start || exit /b 1
rem Another start may be doing the same, and have the log open already.
call :alive && exit /b 0
call :held || start "" /b "%system%\cmd.exe" /d /v:off /c %%product%% <nul >nul 2>&1
for /l %%N in (1,1,15) do call :alive && exit /b 0 || call :second
call :held && ( call :fail "%name% has ended, and something that it has started still runs" "end that in the task manager and run this again" & exit /b 1 )
call :fail "%name% does not start" "read %run%\app.log"
exit /b 1

rem answers: exit code 4 says that nobody listens.
:answers
"%agent%" status --instance %instance% >nul 2>&1
if %errorlevel% equ 4 exit /b 1
exit /b 0

rem replaced: the product that runs is the one before this package was installed over it.
:replaced
call :held || exit /b 1
if /i not "%where%"=="%here%" exit /b 1
set "from="
if exist "%run%\from" set /p from=<"%run%\from"
if not defined from exit /b 1
set "from=%from:"=%"
if /i "%from%"=="%here%" exit /b 1
exit /b 0

rem app: what launch starts. The product's output goes to a log, which is open as
rem long as the product or something that it has started with it runs.
:app
cd /d "%here%\bin" || exit /b 1
>"%run%\from" echo "%here%"
"%here%\bin\%program%" %arguments% >>"%run%\app.log" 2>&1 <nul
exit /b %errorlevel%

rem held: what cmd writes to cannot be opened for writing once more.
:held
if not exist "%run%\app.log" exit /b 1
( >>"%run%\app.log" call ) 2>nul && exit /b 1
exit /b 0

rem alive: neither can the file of a program that runs, whatever else has the same
rem name; but nor can one in a folder that is for reading, so that says little alone.
:alive
call :held || exit /b 1
if not exist "%where%\bin\%program%" exit /b 0
( >>"%where%\bin\%program%" call ) 2>nul && exit /b 1
exit /b 0

:second
"%system%\ping.exe" -n 2 127.0.0.1 >nul
exit /b 0

rem finish: programs are ended by name, so it must be the only one of that name.
rem Some Windows cannot end a program together with what it has started (/t).
:finish
call :held || exit /b 0
set "count=0"
rem "for" starts a cmd, which Wine would take from the current folder.
pushd "%system%"
for /f "delims=," %%L in ('%system%\tasklist.exe /fo csv /nh') do if /i "%%~L"=="%program%" set /a count+=1
popd
if %count% gtr 1 ( call :fail "%count% programs are called %program%" "end the one in %%where%%\bin by hand, in the task manager, and run this again" & exit /b 1 )
call :end
for /l %%N in (1,1,5) do call :held && call :second
call :held && call :end /f
for /l %%N in (1,1,5) do call :held && call :second
call :held && ( call :fail "%name%, or something that it has started, does not end" "end %program% and what belongs to it in the task manager and run this again" & exit /b 1 )
exit /b 0

:end
"%system%\taskkill.exe" %1 /t /im "%program%" >nul 2>&1 || "%system%\taskkill.exe" %1 /im "%program%" >nul 2>&1
exit /b 0

rem hook: in a cmd of its own, whose variables, folder and "exit" are not ours.
:hook
if not exist "%here%\bin\hooks\%1.cmd" exit /b 0
"%system%\cmd.exe" /d /v:off /s /c ""%%here%%\bin\hooks\%1.cmd""
if %errorlevel% equ 0 exit /b 0
call :fail "%%here%%\bin\hooks\%1.cmd has failed (%errorlevel%)" "mend what it says above and run this again: scripts\%stage%.cmd"
exit /b 1

rem fail: what it says may have & in it, as a folder may.
:fail
set "what=%~1"
set "next=%~2"
setlocal EnableDelayedExpansion
>&2 echo %software%: !what!
>&2 echo   next: !next!
exit /b 1
