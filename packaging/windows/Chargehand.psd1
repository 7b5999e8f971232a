# The manifest: Import-Module .\packaging\windows\Chargehand.psd1
@{
    RootModule        = 'Chargehand.psm1'
    ModuleVersion     = '0.1.0'
    GUID              = '6d0f4a52-6c1b-4a0e-9f0e-3b6f4d0f7c15'
    Author            = 'The Chargehand authors'
    Copyright         = 'Apache-2.0'
    Description       = 'Installs, updates, watches and uses Chargehand as a Windows service.'
    PowerShellVersion = '5.1'
    FunctionsToExport = @(
        'Get-ChargehandLog'
        'Get-ChargehandStatus'
        'Install-Chargehand'
        'Start-Chargehand'
        'Stop-Chargehand'
        'Submit-ChargehandTask'
        'Uninstall-Chargehand'
        'Update-Chargehand'
    )
    CmdletsToExport   = @()
    VariablesToExport = @()
    AliasesToExport   = @()
}
