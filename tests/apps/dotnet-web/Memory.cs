// Memory.
//
// /allocate?mb=N   allocates N times a million bytes, and collects all garbage three times
namespace Shop;

static class Memory
{
    const int Piece = 10_000;

    public static void MapMemory(this WebApplication app) => app.MapGet("/allocate", (int mb) =>
    {
        long sum = 0;
        for (var piece = 0; piece < mb * (1_000_000 / Piece); piece++)
        {
            sum += new byte[Piece].Length;
        }
        for (var time = 0; time < 3; time++)
        {
            GC.Collect();
        }
        return $"allocated {sum}";
    });
}
