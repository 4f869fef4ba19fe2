-- Coins have no contract; those of one symbol on several networks are several assets.
INSERT INTO financial.crypto_assets (symbol, name, network, contract_address, decimals) VALUES
    ('BTC', 'Bitcoin', 'bitcoin', NULL, 8),
    ('ETH', 'Ether', 'ethereum', NULL, 18),
    ('SOL', 'Solana', 'solana', NULL, 9),
    ('XRP', 'XRP', 'xrp-ledger', NULL, 6),
    ('ADA', 'Cardano', 'cardano', NULL, 6),
    ('DOGE', 'Dogecoin', 'dogecoin', NULL, 8),
    ('LTC', 'Litecoin', 'litecoin', NULL, 8),
    ('BCH', 'Bitcoin Cash', 'bitcoin-cash', NULL, 8),
    ('DOT', 'Polkadot', 'polkadot', NULL, 10),
    ('ATOM', 'Cosmos Hub', 'cosmos', NULL, 6),
    ('XLM', 'Stellar Lumens', 'stellar', NULL, 7),
    ('XMR', 'Monero', 'monero', NULL, 12),
    ('ALGO', 'Algorand', 'algorand', NULL, 6),
    ('NEAR', 'NEAR Protocol', 'near', NULL, 24),
    ('USDC', 'USD Coin', 'ethereum', '0xa0b86991c6218b36c1d19d4a2e9eb0ce3606eb48', 6),
    ('USDT', 'Tether USD', 'ethereum', '0xdac17f958d2ee523a2206206994597c13d831ec7', 6),
    ('DAI', 'Dai', 'ethereum', '0x6b175474e89094c44da98b954eedeac495271d0f', 18),
    ('WBTC', 'Wrapped Bitcoin', 'ethereum', '0x2260fac5e5542a773aa44fbcfedf7c193bc2c599', 8),
    ('LINK', 'Chainlink', 'ethereum', '0x514910771af9ca656af840dff83e8264ecf986ca', 18),
    ('UNI', 'Uniswap', 'ethereum', '0x1f9840a85d5af5bf1d1762f925bdaddc4201f984', 18),
    ('USDC', 'USD Coin', 'solana', 'EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v', 6)
ON CONFLICT (network, contract_address) DO NOTHING;
