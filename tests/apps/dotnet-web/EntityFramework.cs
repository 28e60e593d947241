// PostgreSQL by EF Core, whose provider is there for .NET 10 only; with .NET 8 there is no such route.
//
// /ef/{id}         one query
// /ef/save/{id}    a query, then SaveChanges, which updates
namespace Shop;

#if NET10_0_OR_GREATER
using System.ComponentModel.DataAnnotations.Schema;
using Microsoft.EntityFrameworkCore;
using Npgsql;

[Table("items")]
class Item
{
    [Column("id")]
    public int Id { get; set; }

    [Column("name")]
    public string Name { get; set; } = "";
}

class ShopContext(DbContextOptions<ShopContext> options) : DbContext(options)
{
    public DbSet<Item> Items => Set<Item>();
}

static class EntityFramework
{
    public static void AddEntityFramework(this IServiceCollection services) =>
        services.AddDbContext<ShopContext>(
            (provider, options) => options.UseNpgsql(provider.GetRequiredService<NpgsqlDataSource>()));

    public static void MapEntityFramework(this WebApplication app)
    {
        app.MapGet("/ef/{id}", async (int id, ShopContext shop) =>
            (await shop.Items.SingleAsync(item => item.Id == id)).Name);
        app.MapGet("/ef/save/{id}", async (int id, ShopContext shop) =>
        {
            var item = await shop.Items.SingleAsync(item => item.Id == id);
            shop.Entry(item).Property(item => item.Name).IsModified = true;
            return await shop.SaveChangesAsync();
        });
    }
}
#else
static class EntityFramework
{
    public static void AddEntityFramework(this IServiceCollection services)
    {
    }

    public static void MapEntityFramework(this WebApplication app)
    {
    }
}
#endif
