/** Of bindings/go/schema.sql, from which the build makes this module (esm/schema.cjs). */
export declare const text: string;
