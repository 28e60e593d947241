// Logs of the category "Shop".
//
// /log/{level}             at that level, from trace to critical
// /log/{level}/exception   with an exception
namespace Shop;

static class Logs
{
    public static void MapLogs(this WebApplication app)
    {
        app.MapGet("/log/{level}", (LogLevel level, ILoggerFactory loggers) =>
        {
            loggers.CreateLogger("Shop").Log(level, "order {Order} logged", 7);
            return $"logged {level}";
        });
        app.MapGet("/log/{level}/exception", (LogLevel level, ILoggerFactory loggers) =>
        {
            try
            {
                throw new InvalidOperationException("the logged failure");
            }
            catch (InvalidOperationException error)
            {
                loggers.CreateLogger("Shop").Log(level, error, "order {Order} failed", 7);
            }
            return $"logged {level}";
        });
    }
}
