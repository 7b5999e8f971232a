# Installs, updates, watches and uses Chargehand as a Windows service: docs/operate/windows.md.
# ASCII only: Windows PowerShell 5.1 reads files without a mark in the machine's own code page.
#Requires -Version 5.1

Set-StrictMode -Version 2.0
$ErrorActionPreference = 'Stop'

$ServiceName = 'Chargehand'
$DefaultInstallFolder = Join-Path -Path $env:ProgramFiles -ChildPath $ServiceName
$DefaultDataFolder = Join-Path -Path $env:ProgramData -ChildPath $ServiceName
$DefaultUri = 'http://127.0.0.1:8700'

function Assert-Administrator {
    # Stop unless this session may change the machine; a dry run may always go on.
    [CmdletBinding()]
    param()
    if ($WhatIfPreference) { return }
    $identity = [Security.Principal.WindowsIdentity]::GetCurrent()
    $principal = New-Object -TypeName Security.Principal.WindowsPrincipal -ArgumentList $identity
    if (-not $principal.IsInRole([Security.Principal.WindowsBuiltInRole]::Administrator)) {
        throw 'Start PowerShell with "Run as administrator", then run this command again.'
    }
}

function Invoke-Program {
    # Run a program, and stop with what it said when it fails. InputText goes to its standard input as UTF-8.
    [CmdletBinding()]
    param(
        [Parameter(Mandatory)] [string] $Program,
        [Parameter(Mandatory)] [string[]] $Arguments,
        [AllowNull()] [string] $InputText
    )
    Write-Verbose -Message "$Program $($Arguments -join ' ')"
    # What a program writes to its error stream is no error of ours: its exit code decides.
    $ErrorActionPreference = 'Continue'
    $OutputEncoding = New-Object -TypeName Text.UTF8Encoding -ArgumentList $false
    if ($InputText) { $output = $InputText | & $Program @Arguments 2>&1 | ForEach-Object -Process { "$_" } }
    else { $output = & $Program @Arguments 2>&1 | ForEach-Object -Process { "$_" } }
    if ($LASTEXITCODE -ne 0) {
        throw "$Program ended with code ${LASTEXITCODE}:`n$($output -join "`n")"
    }
    $output
}

function Assert-Python {
    # The path of a Python that the service can run with and its account can read; stop when it is none.
    [CmdletBinding()]
    param([Parameter(Mandatory)] [string] $Python)
    $found = Get-Command -Name $Python -CommandType Application -ErrorAction SilentlyContinue |
        Select-Object -First 1
    if (-not $found) { throw "There is no $Python. Install Python 3.11 or later for all users, or name it with -Python." }
    $code = 'import sys; print(sys.version_info >= (3, 11)); print(sys.base_prefix)'
    $told = @(Invoke-Program -Program $found.Source -Arguments @('-c', $code))
    if ($told[0] -ne 'True') { throw "$($found.Source) is older than Python 3.11: name a later one with -Python." }
    if ($told[1] -like "$env:SystemDrive\Users\*") {
        throw "$($told[1]) belongs to one user: the service's account cannot read it. Install Python for all users."
    }
    $found.Source
}

function Get-ReleaseFile {
    # The file that says which release is in service.
    [CmdletBinding()]
    param([Parameter(Mandatory)] [string] $InstallFolder)
    Join-Path -Path $InstallFolder -ChildPath 'release.txt'
}

function Get-Release {
    # The folder of the release that is in service; stop when there is none.
    [CmdletBinding()]
    param([Parameter(Mandatory)] [string] $InstallFolder)
    $file = Get-ReleaseFile -InstallFolder $InstallFolder
    if (-not (Test-Path -LiteralPath $file)) {
        throw "Chargehand is not installed in $InstallFolder. Install-Chargehand does it; -InstallFolder names another."
    }
    (Get-Content -LiteralPath $file -Encoding UTF8 -TotalCount 1).Trim()
}

function New-Release {
    # Make an environment with Chargehand in it, beside those that there are; its folder.
    [CmdletBinding(SupportsShouldProcess)]
    param(
        [Parameter(Mandatory)] [string] $Source,
        [Parameter(Mandatory)] [string] $Python,
        [Parameter(Mandatory)] [string] $InstallFolder,
        [AllowEmptyString()] [string] $Wheelhouse
    )
    $interpreter = Assert-Python -Python $Python
    $folder = (Resolve-Path -LiteralPath $Source).Path
    $stamp = (Get-Date).ToUniversalTime().ToString('yyyyMMddTHHmmssZ')
    $release = Join-Path -Path (Join-Path -Path $InstallFolder -ChildPath 'releases') -ChildPath $stamp
    if (-not $PSCmdlet.ShouldProcess($release, "Install Chargehand from $folder")) { return $release }

    New-Item -ItemType Directory -Path $release -Force | Out-Null
    Invoke-Program -Program $interpreter -Arguments @('-m', 'venv', $release) | Out-Null
    $common = @('-m', 'pip', 'install', '--no-input', '--disable-pip-version-check', '--quiet')
    if ($Wheelhouse) { $common += @('--no-index', '--find-links', $Wheelhouse) }
    $lock = Join-Path -Path $folder -ChildPath 'requirements.lock'
    $program = Get-ReleasePython -Release $release
    # Each package is checked against its hash.
    $packages = $common + @('--require-hashes', '--no-deps', '--only-binary', ':all:', '-r', $lock)
    Invoke-Program -Program $program -Arguments $packages | Out-Null
    Invoke-Program -Program $program -Arguments ($common + @('--no-deps', '--no-build-isolation', $folder)) | Out-Null
    $release
}

function Get-ReleasePython {
    # The Python of a release.
    [CmdletBinding()]
    param([Parameter(Mandatory)] [string] $Release)
    Join-Path -Path $Release -ChildPath 'Scripts\python.exe'
}

function Invoke-Chargehand {
    # Run a command of Chargehand on the service's data folder.
    [CmdletBinding()]
    param(
        [Parameter(Mandatory)] [string] $Release,
        [Parameter(Mandatory)] [string] $DataFolder,
        [Parameter(Mandatory)] [string[]] $Arguments,
        [AllowNull()] [string] $InputText
    )
    $before = $env:CHARGEHAND_DATA_DIR
    $env:CHARGEHAND_DATA_DIR = $DataFolder
    try {
        $all = @('-X', 'utf8', '-m', 'chargehand') + $Arguments
        Invoke-Program -Program (Get-ReleasePython -Release $Release) -Arguments $all -InputText $InputText
    }
    finally { $env:CHARGEHAND_DATA_DIR = $before }
}

function Register-Release {
    # Make a release the one that Windows starts.
    [CmdletBinding(SupportsShouldProcess)]
    param(
        [Parameter(Mandatory)] [string] $Release,
        [Parameter(Mandatory)] [string] $InstallFolder,
        [Parameter(Mandatory)] [string] $DataFolder,
        [Parameter(Mandatory)] [string] $StartType,
        [AllowNull()] [pscredential] $Credential
    )
    if (-not $PSCmdlet.ShouldProcess($ServiceName, "Register $Release as a service")) { return }
    $options = @('service', 'install', '--data-dir', $DataFolder, '--start', $StartType)
    $password = $null
    if ($Credential) {
        $options += @('--account', $Credential.UserName, '--password-stdin')
        $password = $Credential.GetNetworkCredential().Password
    }
    Invoke-Chargehand -Release $Release -DataFolder $DataFolder -Arguments $options -InputText $password
    Set-Content -LiteralPath (Get-ReleaseFile -InstallFolder $InstallFolder) -Value $Release -Encoding UTF8
}

function Get-Address {
    # The address of a path of the service.
    [CmdletBinding()]
    param(
        [Parameter(Mandatory)] [uri] $Uri,
        [Parameter(Mandatory)] [string] $Path
    )
    "$Uri".TrimEnd('/') + '/' + $Path
}

function Get-InstalledService {
    # The service, or nothing when there is none.
    [CmdletBinding()]
    param()
    Get-Service -Name $ServiceName -ErrorAction SilentlyContinue
}

function Install-Chargehand {
    <#
    .SYNOPSIS
    Installs Chargehand as a Windows service.

    .DESCRIPTION
    Makes an environment below InstallFolder, installs Chargehand and its packages there, each checked against its
    hash, and registers the service: own account, restart after a failure, event log, a data folder that only
    administrators and the service may read. Needs PowerShell with "Run as administrator".

    .PARAMETER Source
    The folder of Chargehand's source, with requirements.lock in it.

    .PARAMETER Python
    Python 3.11 or later, installed for all users.

    .PARAMETER InstallFolder
    Where the releases go.

    .PARAMETER DataFolder
    Database, workspaces, keys, log and chargehand.env. A folder on a drive of this machine.

    .PARAMETER Wheelhouse
    A folder with all packages, for a machine without a network.

    .PARAMETER StartType
    When Windows starts the service.

    .PARAMETER Credential
    Run as this account instead of the service's own. Its password goes to the service manager and nowhere else.

    .EXAMPLE
    Install-Chargehand -WhatIf
    Says what would be done.

    .EXAMPLE
    Install-Chargehand -DataFolder 'D:\Chargehand'
    Installs it with its data on another drive; Start-Chargehand starts it.
    #>
    [CmdletBinding(SupportsShouldProcess, ConfirmImpact = 'Medium')]
    param(
        [ValidateScript({ Test-Path -LiteralPath (Join-Path -Path $_ -ChildPath 'requirements.lock') })]
        [string] $Source = (Join-Path -Path $PSScriptRoot -ChildPath '..\..'),
        [ValidateNotNullOrEmpty()] [string] $Python = 'python.exe',
        [ValidatePattern('^[A-Za-z]:\\')] [string] $InstallFolder = $DefaultInstallFolder,
        [ValidatePattern('^[A-Za-z]:\\')] [string] $DataFolder = $DefaultDataFolder,
        [ValidateScript({ Test-Path -LiteralPath $_ -PathType Container })] [string] $Wheelhouse,
        [ValidateSet('auto', 'delayed', 'manual')] [string] $StartType = 'delayed',
        [pscredential] $Credential
    )
    Assert-Administrator
    if (Get-InstalledService) { throw 'Chargehand is installed already: Update-Chargehand brings another version.' }
    $release = New-Release -Source $Source -Python $Python -InstallFolder $InstallFolder -Wheelhouse $Wheelhouse
    $registration = @{
        Release       = $release
        InstallFolder = $InstallFolder
        DataFolder    = $DataFolder
        StartType     = $StartType
        Credential    = $Credential
    }
    Register-Release @registration
}

function Update-Chargehand {
    <#
    .SYNOPSIS
    Brings another version of Chargehand into service; goes back to the one before when it does not start.

    .DESCRIPTION
    Makes a release beside the present one, backs up what is stored, stops the service gracefully (what runs is given
    back and goes on afterwards), registers and starts the new release. When that fails, the release from before is
    registered and started again, and the command ends with an error. A newer database schema is not taken back: the
    error says where the backup is.

    .PARAMETER Source
    The folder of the new version's source.

    .PARAMETER Python
    Python 3.11 or later, installed for all users.

    .PARAMETER InstallFolder
    Where the releases are.

    .PARAMETER DataFolder
    The service's data folder.

    .PARAMETER Wheelhouse
    A folder with all packages, for a machine without a network.

    .PARAMETER StartType
    When Windows starts the service.

    .PARAMETER Credential
    The account that the service runs as, when it is not the service's own.

    .EXAMPLE
    Update-Chargehand -Source 'C:\Downloads\chargehand' -WhatIf
    Says what would be done.
    #>
    [CmdletBinding(SupportsShouldProcess, ConfirmImpact = 'Medium')]
    param(
        [ValidateScript({ Test-Path -LiteralPath (Join-Path -Path $_ -ChildPath 'requirements.lock') })]
        [string] $Source = (Join-Path -Path $PSScriptRoot -ChildPath '..\..'),
        [ValidateNotNullOrEmpty()] [string] $Python = 'python.exe',
        [ValidatePattern('^[A-Za-z]:\\')] [string] $InstallFolder = $DefaultInstallFolder,
        [ValidatePattern('^[A-Za-z]:\\')] [string] $DataFolder = $DefaultDataFolder,
        [ValidateScript({ Test-Path -LiteralPath $_ -PathType Container })] [string] $Wheelhouse,
        [ValidateSet('auto', 'delayed', 'manual')] [string] $StartType = 'delayed',
        [pscredential] $Credential
    )
    Assert-Administrator
    if (-not (Get-InstalledService)) { throw 'Chargehand is not installed: Install-Chargehand does it.' }
    $previous = Get-Release -InstallFolder $InstallFolder
    $release = New-Release -Source $Source -Python $Python -InstallFolder $InstallFolder -Wheelhouse $Wheelhouse
    if (-not $PSCmdlet.ShouldProcess($ServiceName, "Go from $previous to $release")) { return }

    $backup = Join-Path -Path (Join-Path -Path $DataFolder -ChildPath 'backups') -ChildPath (Split-Path -Path $release -Leaf)
    $on = @{ DataFolder = $DataFolder }
    Invoke-Chargehand @on -Release $previous -Arguments @('backup', $backup) | Out-Null
    Stop-Chargehand -InstallFolder $InstallFolder -Confirm:$false
    $registration = @{
        InstallFolder = $InstallFolder
        DataFolder    = $DataFolder
        StartType     = $StartType
        Credential    = $Credential
        Confirm       = $false
    }
    try {
        Invoke-Chargehand @on -Release $previous -Arguments @('service', 'uninstall') | Out-Null
        Register-Release @registration -Release $release
        Start-Chargehand -InstallFolder $InstallFolder -Confirm:$false
    }
    catch {
        $why = "$_"
        if (Get-InstalledService) {
            Invoke-Chargehand @on -Release $release -Arguments @('service', 'uninstall') | Out-Null
        }
        Register-Release @registration -Release $previous
        Start-Chargehand -InstallFolder $InstallFolder -Confirm:$false
        throw "The new version did not start, and the one before runs again. Backup: $backup. Reason: $why"
    }
}

function Uninstall-Chargehand {
    <#
    .SYNOPSIS
    Stops and removes the service and its releases. The data folder stays.

    .PARAMETER InstallFolder
    Where the releases are.

    .EXAMPLE
    Uninstall-Chargehand -WhatIf
    Says what would be removed.
    #>
    [CmdletBinding(SupportsShouldProcess, ConfirmImpact = 'High')]
    param([ValidatePattern('^[A-Za-z]:\\')] [string] $InstallFolder = $DefaultInstallFolder)
    Assert-Administrator
    $release = Get-Release -InstallFolder $InstallFolder
    if (-not $PSCmdlet.ShouldProcess($ServiceName, "Remove the service and $InstallFolder")) { return }
    if (Get-InstalledService) {
        $arguments = @('-X', 'utf8', '-m', 'chargehand', 'service', 'uninstall')
        Invoke-Program -Program (Get-ReleasePython -Release $release) -Arguments $arguments
    }
    Remove-Item -LiteralPath $InstallFolder -Recurse -Force
}

function Start-Chargehand {
    <#
    .SYNOPSIS
    Starts the service and returns when it answers.

    .PARAMETER InstallFolder
    Where the releases are.

    .EXAMPLE
    Start-Chargehand
    Starts it.
    #>
    [CmdletBinding(SupportsShouldProcess)]
    param([ValidatePattern('^[A-Za-z]:\\')] [string] $InstallFolder = $DefaultInstallFolder)
    Assert-Administrator
    if (-not $PSCmdlet.ShouldProcess($ServiceName, 'Start')) { return }
    $arguments = @('-X', 'utf8', '-m', 'chargehand', 'service', 'start')
    Invoke-Program -Program (Get-ReleasePython -Release (Get-Release -InstallFolder $InstallFolder)) -Arguments $arguments
}

function Stop-Chargehand {
    <#
    .SYNOPSIS
    Stops the service gracefully: what is running is given back and goes on at the next start.

    .PARAMETER InstallFolder
    Where the releases are.

    .EXAMPLE
    Stop-Chargehand
    Stops it.
    #>
    [CmdletBinding(SupportsShouldProcess)]
    param([ValidatePattern('^[A-Za-z]:\\')] [string] $InstallFolder = $DefaultInstallFolder)
    Assert-Administrator
    $service = Get-InstalledService
    if (-not $service) { throw 'Chargehand is not installed: Install-Chargehand does it.' }
    if ($service.Status -eq 'Stopped' -or -not $PSCmdlet.ShouldProcess($ServiceName, 'Stop')) { return }
    $arguments = @('-X', 'utf8', '-m', 'chargehand', 'service', 'stop')
    Invoke-Program -Program (Get-ReleasePython -Release (Get-Release -InstallFolder $InstallFolder)) -Arguments $arguments
}

function Get-ChargehandStatus {
    <#
    .SYNOPSIS
    Tells whether the service is installed, runs, answers and can work.

    .DESCRIPTION
    Changes nothing, and needs no administrator.

    .PARAMETER Uri
    Where the service answers.

    .EXAMPLE
    Get-ChargehandStatus | Format-List
    Shows all of it.
    #>
    [CmdletBinding()]
    [OutputType([pscustomobject])]
    param([ValidatePattern('^https?://')] [uri] $Uri = $DefaultUri)
    $service = Get-InstalledService
    $ready = $null
    try { $ready = (Invoke-RestMethod -Uri (Get-Address -Uri $Uri -Path 'health/ready') -TimeoutSec 10).status }
    catch { Write-Verbose -Message "$Uri does not answer that it is ready: $_" }
    $account = $null
    if ($service) {
        $account = (Get-CimInstance -ClassName Win32_Service -Filter "Name='$ServiceName'").StartName
    }
    [pscustomobject]@{
        Installed = $null -ne $service
        Status    = if ($service) { "$($service.Status)" } else { 'NotInstalled' }
        Account   = $account
        Ready     = $ready -eq 'ready'
        Uri       = "$Uri"
    }
}

function Get-ChargehandLog {
    <#
    .SYNOPSIS
    Reads the service's log as objects; -Wait goes on as lines come.

    .PARAMETER Tail
    How many of the last lines.

    .PARAMETER Wait
    Go on until Ctrl-C.

    .PARAMETER DataFolder
    The service's data folder.

    .EXAMPLE
    Get-ChargehandLog -Tail 200 | Where-Object -FilterScript { $_.level -eq 'error' }
    The errors of the last lines.

    .EXAMPLE
    Get-ChargehandLog -Wait | Select-Object -Property 'timestamp', 'level', 'event', 'task_id'
    Watches what happens.
    #>
    [CmdletBinding()]
    [OutputType([pscustomobject])]
    param(
        [ValidateRange(0, 1000000)] [int] $Tail = 50,
        [switch] $Wait,
        [ValidatePattern('^[A-Za-z]:\\')] [string] $DataFolder = $DefaultDataFolder
    )
    $file = Join-Path -Path $DataFolder -ChildPath 'logs\service.log'
    if (-not (Test-Path -LiteralPath $file)) {
        throw "There is no $file. Only administrators may read it; -DataFolder names another folder; the service makes it at its start."
    }
    Get-Content -LiteralPath $file -Encoding UTF8 -Tail $Tail -Wait:$Wait | ForEach-Object -Process {
        try { ConvertFrom-Json -InputObject $_ }
        catch { [pscustomobject]@{ event = $_; level = 'unknown'; timestamp = $null } }
    }
}

function Get-ServiceKey {
    # The key to call the service with, as a secure string: the one given, else the administrator's.
    [CmdletBinding()]
    [OutputType([securestring])]
    param(
        [AllowNull()] [securestring] $Key,
        [Parameter(Mandatory)] [uri] $Uri,
        [Parameter(Mandatory)] [string] $DataFolder
    )
    if ($Key) { return $Key }
    if (-not $Uri.IsLoopback) { throw "The administrator's key goes to this machine only: give -Key for $Uri." }
    $file = Join-Path -Path $DataFolder -ChildPath 'admin.key'
    if (-not (Test-Path -LiteralPath $file)) {
        throw "There is no $file, or this session may not read it: start PowerShell as administrator, or give -Key."
    }
    $secure = New-Object -TypeName Security.SecureString
    foreach ($character in (Get-Content -LiteralPath $file -TotalCount 1).Trim().ToCharArray()) {
        $secure.AppendChar($character)
    }
    $secure.MakeReadOnly()
    $secure
}

function Submit-ChargehandTask {
    <#
    .SYNOPSIS
    Hands an agent a task; with -Wait, returns it when it has ended.

    .PARAMETER AgentId
    The agent.

    .PARAMETER Prompt
    What it is to do, in words.

    .PARAMETER SpecificationPath
    A file with a service specification, for the backend developer.

    .PARAMETER Data
    The input itself: what becomes a JSON object.

    .PARAMETER Wait
    Return when the task has ended.

    .PARAMETER IdempotencyKey
    Makes it safe to run the command again: the same key means the same task.

    .PARAMETER Uri
    Where the service answers. A name other than this machine's needs https.

    .PARAMETER Key
    The key. Without it the administrator's, which only administrators may read and which goes to this machine only.

    .PARAMETER DataFolder
    The service's data folder.

    .EXAMPLE
    Submit-ChargehandTask -AgentId backend-developer -SpecificationPath .\service.yaml -Wait
    Has a service built.

    .EXAMPLE
    Submit-ChargehandTask -AgentId scribe -Prompt 'Write the minutes.' -Key (Read-Host -AsSecureString -Prompt 'Key')
    Hands over a task with a key of one's own.
    #>
    [CmdletBinding(SupportsShouldProcess, DefaultParameterSetName = 'Prompt')]
    [OutputType([pscustomobject])]
    param(
        [Parameter(Mandatory)] [ValidatePattern('^[a-z0-9][a-z0-9._-]{0,127}$')] [string] $AgentId,
        [Parameter(Mandatory, ParameterSetName = 'Prompt')] [ValidateNotNullOrEmpty()] [string] $Prompt,
        [Parameter(Mandatory, ParameterSetName = 'Specification')]
        [ValidateScript({ Test-Path -LiteralPath $_ -PathType Leaf })] [string] $SpecificationPath,
        [Parameter(Mandatory, ParameterSetName = 'Data')] [hashtable] $Data,
        [switch] $Wait,
        [ValidateLength(1, 255)] [string] $IdempotencyKey = [guid]::NewGuid().ToString(),
        [ValidatePattern('^https://|^http://(127\.0\.0\.1|localhost|\[::1\])(:|/|$)')] [uri] $Uri = $DefaultUri,
        [securestring] $Key,
        [ValidatePattern('^[A-Za-z]:\\')] [string] $DataFolder = $DefaultDataFolder
    )
    $taskData = switch ($PSCmdlet.ParameterSetName) {
        'Prompt' { @{ prompt = $Prompt } }
        'Specification' { @{ specification = [IO.File]::ReadAllText((Resolve-Path -LiteralPath $SpecificationPath).Path) } }
        'Data' { $Data }
    }
    if (-not $PSCmdlet.ShouldProcess($AgentId, "Submit a task at $Uri")) { return }
    $secure = Get-ServiceKey -Key $Key -Uri $Uri -DataFolder $DataFolder
    $bearer = (New-Object -TypeName Net.NetworkCredential -ArgumentList '', $secure).Password
    $json = ConvertTo-Json -InputObject @{ task_data = $taskData } -Depth 20 -Compress
    $request = @{
        Uri         = Get-Address -Uri $Uri -Path "agents/$AgentId/tasks"
        Method      = 'Post'
        Headers     = @{ Authorization = "Bearer $bearer"; 'Idempotency-Key' = $IdempotencyKey }
        # As bytes: a text would be sent in the machine's own code page.
        Body        = [Text.Encoding]::UTF8.GetBytes($json)
        ContentType = 'application/json'
    }
    $task = Invoke-RestMethod @request
    while ($Wait -and $task.status -notin @('completed', 'failed', 'canceled')) {
        $look = @{
            Uri        = Get-Address -Uri $Uri -Path "tasks/$($task.id)"
            Headers    = @{ Authorization = "Bearer $bearer"; Prefer = 'wait=30' }
            TimeoutSec = 60
        }
        $task = Invoke-RestMethod @look
    }
    $task
}

Export-ModuleMember -Function @(
    'Get-ChargehandLog'
    'Get-ChargehandStatus'
    'Install-Chargehand'
    'Start-Chargehand'
    'Stop-Chargehand'
    'Submit-ChargehandTask'
    'Uninstall-Chargehand'
    'Update-Chargehand'
)
