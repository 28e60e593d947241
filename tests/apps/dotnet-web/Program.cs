// A shop with everything the agent has to see of .NET: controllers, minimal APIs, database clients, calls to other
// services, activities, logs and failures. Each file maps its own routes and lists them in its first lines.
//
// PORT, DATABASE_URL            where it listens, and Npgsql's connection string
// SQLSERVER                     SqlClient's connection string
// DOWNSTREAM_URL                the service that /fan and /down call
// TLS_CERT, TLS_KEY, TLS_PORT   PEM files and a second port, for https
// ERRORS=handler|page           UseExceptionHandler or the developer's page; without it Kestrel answers 500
// BACKGROUND=1                  a background service that works five times a second
// LOGGING=none                  clears the logging providers
// IDENTIFIERS=own               gives requests other identifiers than Kestrel does
//
// /hello        a greeting
// /static       a constant: the cheapest request
// /echo         the trace context that the request carried
// /slow?ms=N    an answer that takes N ms
// /chunked      a body in chunks
using System.Net;
using System.Security.Cryptography.X509Certificates;
using Npgsql;
using Shop;

var builder = WebApplication.CreateBuilder(args);
if (Settings.Silent)
{
    builder.Logging.ClearProviders();
}
builder.Logging.AddFilter("Shop", LogLevel.Trace);
builder.WebHost.ConfigureKestrel(server =>
{
    server.Listen(IPAddress.Loopback, Settings.Port);
    if (Settings.Certificate is string certificate)
    {
        var identity = X509Certificate2.CreateFromPemFile(certificate, Settings.Key);
        server.Listen(IPAddress.Loopback, Settings.TlsPort, port => port.UseHttps(identity));
    }
});
builder.Services.AddControllers();
builder.Services.AddSingleton(NpgsqlDataSource.Create(Settings.Database));
// The certificate of a test is signed by nobody.
builder.Services.AddSingleton(new HttpClient(new HttpClientHandler
{
    ServerCertificateCustomValidationCallback = HttpClientHandler.DangerousAcceptAnyServerCertificateValidator,
}));
builder.Services.AddEntityFramework();
if (Settings.Background)
{
    builder.Services.AddHostedService<Ticker>();
}

var app = builder.Build();
if (Settings.OwnIdentifiers)
{
    var count = 0;
    app.Use((context, next) =>
    {
        // Some look like Kestrel's: a name, and a number of eight digits.
        var number = Interlocked.Increment(ref count);
        // The answer has gone out, and the next request come in, before the end of this one is told.
        context.Response.OnCompleted(() => Task.Delay(2));
        context.TraceIdentifier = number % 2 == 0 ? $"shop:{number:X8}" : Guid.NewGuid().ToString();
        return next(context);
    });
}
app.UseErrors();
app.MapControllerRoute("areas", "{area:exists}/{controller}/{action}/{id?}");
app.MapControllerRoute("default", "{controller}/{action}/{id?}");
app.MapQueries();
app.MapEntityFramework();
app.MapSqlServer();
app.MapCalls();
app.MapErrors();
app.MapActivities();
app.MapLogs();
app.MapMemory();

app.MapGet("/hello", () => "hello");
app.MapGet("/static", () => "ok");
app.MapGet("/echo", (HttpRequest request) => $"{request.Headers.TraceParent} {request.Headers.TraceState}".Trim());
app.MapGet("/slow", async (int ms) =>
{
    await Task.Delay(ms);
    return "slow";
});
app.MapGet("/chunked", async (HttpResponse response) =>
{
    foreach (var part in new[] { "first ", "second ", "third" })
    {
        await response.WriteAsync(part);
        await response.Body.FlushAsync();
    }
});

app.Lifetime.ApplicationStarted.Register(() => Console.WriteLine($"listening on port {Settings.Port}"));
app.Run();
