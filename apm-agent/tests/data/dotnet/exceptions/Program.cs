using Shop.Orders;

var scenarios = new (string Name, Func<Task> Run)[]
{
    ("sync", () => { new Repository<string>("orders").Find(7); return Task.CompletedTask; }),
    ("async", async () => await new Service().PlaceAsync(7)),
    ("async_generic", async () => await new Repository<int>("x").LoadAsync<string>("key")),
    ("inner", () => { new Service().Wrapped(); return Task.CompletedTask; }),
    ("inner_twice", async () => await new Service().WrappedTwiceAsync()),
    ("aggregate", () => Task.WhenAll(new Service().PlaceAsync(1), new Service().FailAsync("two")).ContinueWith(t => throw t.Exception!)),
    ("multiline", () => throw new InvalidOperationException("first line\nsecond line\n   at no place, just text\n\nlast line")),
    ("empty_message", () => throw new CustomException("")),
    ("local_function", () => { Outer(3); return Task.CompletedTask;
        void Outer(int x) { static void Local(int y) => throw new ArgumentOutOfRangeException(nameof(y), y, "too big"); Local(x); } }),
    ("lambda", () => { var items = new[] { 1, 2, 0 }; _ = items.Select(i => 10 / i).ToList(); return Task.CompletedTask; }),
    ("iterator", () => { foreach (var _ in Service.Count(2)) { } return Task.CompletedTask; }),
    ("async_iterator", async () => { await foreach (var _ in Service.CountAsync(2)) { } }),
    ("constructor", () => { _ = new Broken(); return Task.CompletedTask; }),
    ("type_initializer", () => { _ = BrokenStatic.Value; return Task.CompletedTask; }),
    ("property", () => { _ = new Service().Total; return Task.CompletedTask; }),
    ("operator", () => { _ = new Money(1) + new Money(2); return Task.CompletedTask; }),
    ("nested_generic", () => { new Outer<int>.Inner<string>().Go(new Dictionary<string, List<int?>>(), out _); return Task.CompletedTask; }),
    ("rethrown", async () => { try { await new Service().PlaceAsync(1); } catch (Exception) { throw; } }),
    ("dispatch", () => { System.Runtime.ExceptionServices.ExceptionDispatchInfo.Capture(new Service().Kept()).Throw(); return Task.CompletedTask; }),
    ("lambda_async", async () => await Task.Run(async () => { await Task.Yield(); throw new TimeoutException("slow"); })),
    ("not_thrown", () => Task.CompletedTask),
    ("socket", async () => { using var client = new HttpClient(); await client.GetStringAsync("http://127.0.0.1:1/"); }),
    ("inner_multiline", () => { try { throw new FormatException("a\nb"); } catch (Exception e) { throw new CustomException("outer\ntext", e); } }),
    ("unhandled", () => Task.CompletedTask),
    ("dynamic", () => { dynamic d = 1; d.Nope(); return Task.CompletedTask; }),
    ("reflection", () => { typeof(Service).GetMethod("Wrapped")!.Invoke(new Service(), null); return Task.CompletedTask; }),
    ("thrown_value", () => { throw new WithData("text", 42); }),
    ("file_not_found", () => { File.ReadAllText("/no/such/file"); return Task.CompletedTask; }),
};
var folder = args[0];
Directory.CreateDirectory(folder);
foreach (var (name, run) in scenarios)
{
    if (name is "unhandled") continue;
    string text;
    if (name == "not_thrown") text = new CustomException("never thrown", new FormatException("nor this")).ToString();
    else
        try { await run(); continue; } catch (Exception e) { text = e.ToString(); }
    File.WriteAllText(Path.Combine(folder, name + ".txt"), text);
}
if (args.Length > 1) await new Service().WrappedTwiceAsync();

namespace Shop.Orders
{
    public class CustomException(string message, Exception? inner = null) : Exception(message, inner);

    public class WithData(string message, int code) : Exception(message)
    {
        public override string ToString() => $"{base.ToString()}\nCode: {code}";
    }

    public class Repository<T>(string table)
    {
        public T Find(int id) => id > 5 ? throw new KeyNotFoundException($"no row {id} in {table}") : default!;

        public async Task<R> LoadAsync<R>(string key) where R : class
        {
            await Task.Delay(1);
            throw new KeyNotFoundException(key);
        }
    }

    public class Service
    {
        public decimal Total => throw new NotSupportedException("no total");

        public async Task PlaceAsync(int id)
        {
            await Task.Yield();
            new Repository<string>("orders").Find(id + 5);
        }

        public async Task FailAsync(string text)
        {
            await Task.Delay(1);
            throw new CustomException(text);
        }

        public void Wrapped()
        {
            try { new Repository<int>("carts").Find(9); }
            catch (Exception e) { throw new CustomException("could not wrap", e); }
        }

        public async Task WrappedTwiceAsync()
        {
            try { await Task.Delay(1); Wrapped(); }
            catch (Exception e) { throw new InvalidOperationException("twice", e); }
        }

        public Exception Kept() { try { Wrapped(); return null!; } catch (Exception e) { return e; } }

        public static IEnumerable<int> Count(int n)
        {
            yield return 1;
            if (n > 1) throw new InvalidOperationException("enough");
        }

        public static async IAsyncEnumerable<int> CountAsync(int n)
        {
            yield return 1;
            await Task.Delay(1);
            if (n > 1) throw new InvalidOperationException("enough");
        }
    }

    public class Broken { public Broken() => throw new InvalidOperationException("no object"); }

    public static class BrokenStatic { public static readonly int Value = int.Parse("x"); }

    public readonly record struct Money(int Value)
    {
        public static Money operator +(Money a, Money b) => throw new OverflowException($"{a} + {b}");
    }

    public class Outer<A>
    {
        public class Inner<B>
        {
            public void Go<C>(Dictionary<B, List<C>> map, out int[,] result) => throw new NotImplementedException(typeof(C).Name);
        }
    }
}
