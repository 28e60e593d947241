// Calls to other services.
//
// /fan/{id}        two calls of /down and one query side by side, on changing threads; each names the id
// /down/{id}/{n}   what /fan calls; calls /leaf when there is a further service
// /leaf/{id}/{n}   what /down calls
// /call?url=U      an outgoing request; its status is passed on, 502 when nobody answers
using Npgsql;

namespace Shop;

static class Calls
{
    public static void MapCalls(this WebApplication app)
    {
        app.MapGet("/fan/{id}", Fan);
        app.MapGet("/down/{id}/{n}", Down);
        app.MapGet("/leaf/{id}/{n}", (int id, int n) => $"leaf {id}/{n}");
        app.MapGet("/call", Call);
    }

    static async Task<string> Fan(int id, HttpClient client, NpgsqlDataSource database)
    {
        await Task.Yield();
        var first = Ask(client, $"/down/{id}/1");
        var second = Ask(client, $"/down/{id}/2");
        // The query begins on a thread of the timer's choice, while the calls are under way.
        await Task.Delay(1);
        var query = database.NameOf(id);
        Task[] all = [first, second, query];
        await Task.WhenAll(all);
        return $"{await query}, {await first}, {await second}";
    }

    static async Task<string> Down(int id, int n, HttpClient client)
    {
        await Task.Delay(1);
        var own = $"down {id}/{n}";
        return Settings.Downstream is null ? own : $"{own} of {await Ask(client, $"/leaf/{id}/{n}")}";
    }

    static async Task<string> Ask(HttpClient client, string path)
    {
        await Task.Yield();
        return await client.GetStringAsync(Settings.Downstream + path);
    }

    static async Task<IResult> Call(string url, HttpClient client)
    {
        try
        {
            using var response = await client.GetAsync(url);
            return Results.Text("called", statusCode: (int)response.StatusCode);
        }
        catch (HttpRequestException error)
        {
            return Results.Text(error.Message, statusCode: 502);
        }
    }
}
