// Exceptions.
//
// /throw/sync      at once
// /throw/async     after an await
// /throw/inner     with the exception that caused it
// /throw/handled   caught; answered with 200
// /crash           on a thread of its own, once the answer is sent: the process dies
// /failed          what UseExceptionHandler answers with
namespace Shop;

static class Errors
{
    public static void UseErrors(this WebApplication app)
    {
        if (Settings.Errors == "handler")
        {
            app.UseExceptionHandler("/failed");
        }
        else if (Settings.Errors == "page")
        {
            app.UseDeveloperExceptionPage();
        }
    }

    public static void MapErrors(this WebApplication app)
    {
        app.MapGet("/throw/sync", string () => throw new InvalidOperationException("failed at once"));
        app.MapGet("/throw/async", Async);
        app.MapGet("/throw/inner", Inner);
        app.MapGet("/throw/handled", Handled);
        app.MapGet("/crash", Crash);
        app.Map("/failed", () => Results.Text("failed", statusCode: 500));
    }

    static async Task<string> Async()
    {
        await Task.Delay(1);
        throw new InvalidOperationException("failed after an await");
    }

    static async Task<string> Inner()
    {
        try
        {
            return await Async();
        }
        catch (InvalidOperationException cause)
        {
            throw new ApplicationException("failed for a reason", cause);
        }
    }

    static async Task<string> Handled()
    {
        try
        {
            return await Async();
        }
        catch (InvalidOperationException error)
        {
            return $"caught: {error.Message}";
        }
    }

    static string Crash(HttpResponse response)
    {
        response.OnCompleted(() =>
        {
            new Thread(() => throw new InvalidOperationException("the process fails")).Start();
            return Task.CompletedTask;
        });
        return "crashing";
    }
}
