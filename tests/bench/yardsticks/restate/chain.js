// A chain of ten durable steps that do nothing, on the official SDK.
import * as restate from "@restatedev/restate-sdk";
const chain = restate.service({
  name: "chain",
  handlers: {
    run: async (ctx, text) => {
      let value = text;
      for (let step = 1; step <= 10; step++) value = await ctx.run(`step${step}`, () => value);
      return value;
    },
  },
});
restate.serve({ services: [chain], port: Number(process.env.PORT) });
