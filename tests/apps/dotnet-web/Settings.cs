namespace Shop;

/// <summary>What the environment says; Program.cs lists it.</summary>
static class Settings
{
    public static readonly int Port = int.Parse(Read("PORT") ?? "0");
    public static readonly string Database = Read("DATABASE_URL") ?? "Host=127.0.0.1;Username=postgres";
    public static readonly string? SqlServer = Read("SQLSERVER");
    public static readonly string? Downstream = Read("DOWNSTREAM_URL");
    public static readonly string? Errors = Read("ERRORS");
    public static readonly bool Background = Read("BACKGROUND") == "1";
    public static readonly bool OwnIdentifiers = Read("IDENTIFIERS") == "own";
    public static readonly bool Silent = Read("LOGGING") == "none";
    public static readonly string? Certificate = Read("TLS_CERT");
    public static readonly string? Key = Read("TLS_KEY");
    public static readonly int TlsPort = int.Parse(Read("TLS_PORT") ?? "0");

    static string? Read(string name) => Environment.GetEnvironmentVariable(name);
}
