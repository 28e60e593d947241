// Logs of the category "Shop".
//
// /log/{level}             at that level, from trace to critical
// /log/{level}/exception   with an exception
namespace Shop;

static class Logs
{
    public static void MapLogs(this WebApplication app)
    {
        app.MapGet("/log/{level}", (string level, ILoggerFactory loggers) =>
        {
            loggers.CreateLogger("Shop").Log(Level(level), "order {Order} logged", 7);
            return $"logged {level}";
        });
        app.MapGet("/log/{level}/exception", (string level, ILoggerFactory loggers) =>
        {
            try
            {
                throw new InvalidOperationException("the logged failure");
            }
            catch (InvalidOperationException error)
            {
                loggers.CreateLogger("Shop").Log(Level(level), error, "order {Order} failed", 7);
            }
            return $"logged {level}";
        });
    }

    static LogLevel Level(string name) => Enum.Parse<LogLevel>(name, ignoreCase: true);
}
